// The list of keys, and the switch that turns them off.

import { setShortcutsEnabled, useShortcutsEnabled } from "../nav/keys";
import { Dialog } from "../ui/Dialog";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Search or filter"],
  ["j k", "Next, previous job"],
  ["x", "Select the job"],
  ["Enter", "Open the job"],
  ["r", "Requeue the dead letters chosen"],
  ["n", "Show what is new in the list"],
  ["Esc", "Clear, close"],
  ["?", "This list"],
];

export function Help({
  pages,
  onClose,
}: {
  pages: readonly { name: string; key: string }[];
  onClose: () => void;
}) {
  const enabled = useShortcutsEnabled();
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl className="keys">
        {[...pages.map((page) => [page.key, page.name] as const), ...KEYS].map(([keys, text]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <label className="check">
        <input
          type="checkbox"
          checked={enabled}
          onChange={(event) => setShortcutsEnabled(event.target.checked)}
        />
        Single-key shortcuts
      </label>
    </Dialog>
  );
}
