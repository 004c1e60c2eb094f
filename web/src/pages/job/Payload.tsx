// The payload as text, with the number of bytes that are left out.

import { useMemo } from "react";
import { CopyButton } from "../../ui/basics";
import { plural } from "../../ui/format";
import { show } from "./payload";

export function Payload({ payload, contentType }: { payload: Uint8Array; contentType: string }) {
  const shown = useMemo(() => show(payload, contentType), [payload, contentType]);
  if (shown.kind === "empty") return <p className="muted">No payload.</p>;
  return (
    <div className="code">
      <CopyButton text={shown.text} label="Copy the payload" />
      <pre tabIndex={0}>{shown.text}</pre>
      {shown.hidden > 0 && <p className="muted">{plural(shown.hidden, "byte")} more are not shown.</p>}
    </div>
  );
}
