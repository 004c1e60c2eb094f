// The settings of a queue, and a form for the most used ones.

import { type FormEvent, useState } from "react";
import { updateQueue } from "../../api/calls";
import { ApiError } from "../../api/http";
import type { Queue } from "../../api/model";
import { Button, words } from "../../ui/basics";
import { count, duration } from "../../ui/format";
import { toast } from "../../ui/toast";

export function Settings({ queue, onSaved }: { queue: Queue; onSaved: () => void }) {
  const [editing, setEditing] = useState(false);
  const { settings } = queue;
  if (editing)
    return (
      <Form
        queue={queue}
        onClose={(saved) => {
          setEditing(false);
          if (saved) onSaved();
        }}
      />
    );
  return (
    <>
      <table className="plain">
        <tbody>
          <tr>
            <th scope="row">Rate limit</th>
            <td className="num">{settings.rate ? `${count(settings.rate)} claims/s` : "none"}</td>
          </tr>
          <tr>
            <th scope="row">Burst</th>
            <td className="num">
              {settings.rate ? (settings.burst ? count(settings.burst) : "as the rate") : "–"}
            </td>
          </tr>
          <tr>
            <th scope="row">Jobs at most</th>
            <td className="num">{settings.maxJobs ? count(settings.maxJobs) : "no limit"}</td>
          </tr>
          <tr>
            <th scope="row">Head start of a priority point</th>
            <td className="num">{duration(settings.priorityStepMs)}</td>
          </tr>
          <tr>
            <th scope="row">Lost leases that bury a job</th>
            <td className="num">{count(settings.maxExpirations)}</td>
          </tr>
        </tbody>
      </table>
      <Button icon="edit" onClick={() => setEditing(true)}>
        Change limits
      </Button>
    </>
  );
}

const FIELDS = [
  { name: "rate", label: "Rate limit, claims/s", hint: "0: no limit", max: 1_000_000, step: "any" },
  { name: "burst", label: "Burst, claims", hint: "0: as the rate", max: 1_000_000, step: "1" },
  { name: "maxJobs", label: "Jobs at most", hint: "0: no limit", max: 1_000_000_000, step: "1" },
] as const;

function Form({ queue, onClose }: { queue: Queue; onClose: (saved: boolean) => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const value = (name: string) => Number(data.get(name));
    setBusy(true);
    try {
      await updateQueue(queue.name, {
        rate: value("rate"),
        burst: value("burst"),
        maxJobs: String(value("maxJobs")),
      });
      toast(`Limits of ${queue.name} changed`);
      onClose(true);
    } catch (failure) {
      setError(failure as Error);
      setBusy(false);
    }
  };
  const wrong = (name: string) =>
    error instanceof ApiError
      ? [...error.fields].find(([path]) =>
          path.replaceAll("_", "").toLowerCase().endsWith(name.toLowerCase()),
        )?.[1]
      : undefined;
  return (
    <form onSubmit={save} className="settings-form">
      {FIELDS.map((field) => (
        <label key={field.name} className="field">
          {field.label} <span className="muted">{field.hint}</span>
          <input
            name={field.name}
            type="number"
            min={0}
            max={field.max}
            step={field.step}
            required
            defaultValue={queue.settings[field.name]}
            aria-invalid={wrong(field.name) !== undefined}
          />
          {wrong(field.name) && <span className="field-error">{wrong(field.name)}</span>}
        </label>
      ))}
      {error && (
        <p className="field-error" role="alert">
          {words(error)}
        </p>
      )}
      <div className="dialog-actions">
        <Button onClick={() => onClose(false)}>Keep as it is</Button>
        <Button type="submit" kind="primary" disabled={busy}>
          Save
        </Button>
      </div>
    </form>
  );
}
