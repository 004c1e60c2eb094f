// Chooses a queue by typing a part of its name; the browser's own list proposes.

import { useEffect, useId, useState } from "react";
import { useLive } from "../../live/hooks";

interface Props {
  value: string;
  onChange: (value: string) => void;
  /** What it means to choose none. Without it one must be chosen. */
  none?: string;
}

export function QueuePicker({ value, onChange, none }: Props) {
  const queues = useLive((state) => state.snapshot?.queues) ?? [];
  const [typed, setTyped] = useState(value);
  const list = useId();
  useEffect(() => setTyped(value), [value]);
  const take = (name: string) => {
    setTyped(name);
    if (name === "" ? none !== undefined : queues.some((queue) => queue.name === name)) onChange(name);
  };
  // A short list is quicker to choose from than to type.
  if (queues.length <= 30)
    return (
      <label className="picker">
        <span>Queue</span>
        <select value={value} onChange={(event) => onChange(event.target.value)}>
          {(none !== undefined || !value) && <option value="">{none ?? "Choose…"}</option>}
          {value && !queues.some((queue) => queue.name === value) && <option value={value}>{value}</option>}
          {queues.map((queue) => (
            <option key={queue.name} value={queue.name}>
              {queue.name}
            </option>
          ))}
        </select>
      </label>
    );
  return (
    <label className="picker">
      <span>Queue</span>
      <input
        list={list}
        value={typed}
        placeholder={none ?? "Choose…"}
        onChange={(event) => take(event.target.value)}
        onBlur={() => setTyped(value)}
        spellCheck={false}
      />
      <datalist id={list}>
        {queues.map((queue) => (
          <option key={queue.name} value={queue.name} />
        ))}
      </datalist>
    </label>
  );
}
