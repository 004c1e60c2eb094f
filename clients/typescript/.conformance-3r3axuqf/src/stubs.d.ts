/** The generated messages and services, for what the SDK does not cover: administration and stub-only clients. */
export * from "../gen/relay/v1/admin_service_pb.js";
export * from "../gen/relay/v1/dead_letter_service_pb.js";
export * from "../gen/relay/v1/errors_pb.js";
export * from "../gen/relay/v1/job_pb.js";
export * from "../gen/relay/v1/queue_service_pb.js";
