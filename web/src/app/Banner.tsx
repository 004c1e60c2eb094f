// The state of the connection: a small mark while it works, a banner with a countdown while it does not.

import { useLive, useLiveParts, useNow } from "../live/hooks";
import { Button } from "../ui/basics";
import { clock, duration } from "../ui/format";

export function ConnectionState() {
  const phase = useLive((state) => state.connection.phase);
  const time = useLive((state) => state.snapshot?.time ?? 0);
  const text = {
    connecting: "Connecting",
    live: "Live",
    paused: "Paused",
    down: "Disconnected",
    refused: "",
  }[phase];
  return (
    <span className={`connection ${phase}`} title={time ? `Numbers of ${clock(time)}` : text}>
      <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
        {phase === "down" ? (
          <path d="M1.5 1.5l7 7m0-7l-7 7" />
        ) : (
          <circle cx="5" cy="5" r={phase === "live" ? 4 : 3} />
        )}
      </svg>
      {text}
    </span>
  );
}

export function Banner() {
  const connection = useLive((state) => state.connection);
  const { connection: control } = useLiveParts();
  const now = useNow(1000);
  if (connection.phase !== "down") return <div aria-live="assertive" />;
  const wait = connection.retryAt === null ? 0 : Math.max(0, connection.retryAt - now);
  return (
    <div className="banner" role="alert">
      <div>
        <p className="banner-title">Disconnected from the server</p>
        <p aria-live="off">
          {sentence(connection.error)} Numbers are from {clock(connection.since)},{" "}
          {duration(Math.max(1000, now - connection.since))} ago.{" "}
          {connection.retryAt === null ? "Trying now…" : `Next try in ${Math.ceil(wait / 1000)} s.`}
        </p>
      </div>
      <Button icon="retry" onClick={() => control.retryNow()} disabled={connection.retryAt === null}>
        Try now
      </Button>
    </div>
  );
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
