// How the jobs of a queue are spread over the states: parts of a bar with a colour and a pattern each.

import { JOB_STATES, type QueueStats } from "../api/model";
import { STATE_NAME } from "./basics";
import { count } from "./format";

/** The patterns, once a page: other SVGs refer to them by id. */
export function Patterns() {
  return (
    <svg className="patterns" width="0" height="0" aria-hidden="true">
      <defs>
        <pattern
          id="p-delayed"
          width="5"
          height="5"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(45)"
        >
          <rect width="5" height="5" className="back c-delayed" />
          <rect width="2" height="5" className="front" />
        </pattern>
        <pattern id="p-inflight" width="5" height="5" patternUnits="userSpaceOnUse">
          <rect width="5" height="5" className="back c-inflight" />
          <circle cx="2.5" cy="2.5" r="1.1" className="front" />
        </pattern>
        <pattern id="p-dead" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="6" height="6" className="back c-dead" />
          <path d="M0 3h6M3 0v6" className="front-line" />
        </pattern>
      </defs>
    </svg>
  );
}

export function StateBar({ queue, width = 140 }: { queue: QueueStats; width?: number }) {
  const total = queue.ready + queue.delayed + queue.inflight + queue.dead;
  const shown = JOB_STATES.filter((state) => queue[state] > 0);
  // Three pixels at least: one dead letter among a million must be seen. The other parts share the rest.
  const least = 3;
  const room = width - (shown.length - 1) - least * shown.length;
  const label = JOB_STATES.map((state) => `${STATE_NAME[state]} ${count(queue[state])}`).join(", ");
  let at = 0;
  return (
    <svg className="state-bar" width={width} height="10" role="img" aria-label={label}>
      <title>{label}</title>
      <rect width={width} height="10" rx="2" className="trough" />
      {shown.map((state) => {
        const size = least + (queue[state] / total) * room;
        const x = at;
        at += size + 1;
        return <rect key={state} x={x} width={size} height="10" rx="1.5" className={`fill-${state}`} />;
      })}
    </svg>
  );
}
