// The page for a browser that is not signed in, or whose token may view no queue.

import { type FormEvent, useId, useState } from "react";
import { signIn } from "../api/signIn";
import { useLive, useLiveParts } from "../live/hooks";
import { Button, words } from "../ui/basics";

export function SignIn() {
  const { connection } = useLiveParts();
  const why = useLive(({ connection: { phase, ...rest } }) =>
    phase === "refused" && "error" in rest ? rest.error : "",
  );
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const id = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await signIn(token);
      setToken("");
      connection.start();
    } catch (failure) {
      setError(words(failure as Error));
    } finally {
      setBusy(false);
    }
  };
  const shown = error || why;
  return (
    <form className="sign-in" onSubmit={submit}>
      <h1>Sign in</h1>
      <div className="field">
        <label htmlFor={id}>Token</label>
        <input
          id={id}
          type="password"
          name="token"
          autoComplete="current-password"
          spellCheck={false}
          required
          // biome-ignore lint/a11y/noAutofocus: it is the only thing on the page to do
          autoFocus
          value={token}
          aria-describedby={`${id}-about`}
          aria-invalid={shown ? true : undefined}
          onChange={(event) => setToken(event.target.value)}
        />
        <p className="muted" id={`${id}-about`}>
          One that <code>relay token new</code> printed, with the role viewer or operator.
        </p>
        <p className="field-error" role="alert">
          {shown}
        </p>
      </div>
      <Button kind="primary" type="submit" disabled={busy || token.trim() === ""}>
        {busy ? "Signing in…" : "Sign in"}
      </Button>
    </form>
  );
}
