// The signed-in principal and the button to sign out. Empty unless a cookie carries the token.

import { getSignIn, signOut } from "../api/signIn";
import { useFetched, useLiveParts } from "../live/hooks";
import { Button, words } from "../ui/basics";
import { toast } from "../ui/toast";

export function Account() {
  const { connection } = useLiveParts();
  const { data: current } = useFetched("sign-in", getSignIn);
  if (!current?.canSignOut) return null;
  const leave = async () => {
    try {
      await signOut();
      connection.refuse();
    } catch (failure) {
      toast(words(failure as Error), true);
    }
  };
  return (
    <Button
      kind="quiet"
      icon="leave"
      onClick={leave}
      title={`Signed in as ${current.principal}. Sign out`}
      aria-label={`Sign out ${current.principal}`}
    />
  );
}
