// The job as a command for a terminal or a script.

import { useState } from "react";
import type { JobDetail } from "../../api/model";
import { Choice, CopyButton } from "../../ui/basics";
import { command, type Tool, type What } from "./commands";

export function CopyAs({ job }: { job: JobDetail }) {
  const [tool, setTool] = useState<Tool>("curl");
  const [what, setWhat] = useState<What>("show");
  const text = command(job, tool, what);
  return (
    <>
      <div className="copy-choices">
        <Choice
          label="Command for"
          value={tool}
          onChange={setTool}
          options={[
            ["curl", "curl"],
            ["grpcurl", "grpcurl"],
            ["Python", "Python"],
          ]}
        />
        <Choice
          label="It does"
          value={what}
          onChange={setWhat}
          options={[
            ["show", "Show it"],
            ["again", "Enqueue a copy"],
          ]}
        />
      </div>
      <div className="code">
        <CopyButton text={text} label={`Copy as ${tool}`} />
        <pre tabIndex={0}>{text}</pre>
      </div>
      {tool !== "curl" && (
        <p className="muted">
          The page cannot know the gRPC address: 50051 is the port a server has by default.
        </p>
      )}
    </>
  );
}
