"""What is under deployments/, with the Dockerfile and compose.yaml: judged by the tools that will read it, and run."""
