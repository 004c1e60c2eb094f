// Who one is, and the way out. Nothing where the server asks nobody.

import { getSession, signOut } from "../api/session";
import { useFetched, useLiveParts } from "../live/hooks";
import { Button, words } from "../ui/basics";
import { toast } from "../ui/toast";

export function Account() {
  const { connection } = useLiveParts();
  const { data: session } = useFetched("session", getSession);
  if (!session?.canSignOut) return null;
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
      title={`Signed in as ${session.principal}. Sign out`}
      aria-label={`Sign out ${session.principal}`}
    />
  );
}
