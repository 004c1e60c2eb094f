import type { GenEnum, GenFile } from "@bufbuild/protobuf/codegenv2";
/**
 * Describes the file relay/v1/errors.proto.
 */
export declare const file_relay_v1_errors: GenFile;
/**
 * Why a call, or one job of a batch, was refused.
 *
 * A failed call carries google.rpc.ErrorInfo with domain "relay" and, as reason, one of these names without the
 * ERROR_REASON_ prefix. Every SDK has one typed error for each.
 *
 * @generated from enum relay.v1.ErrorReason
 */
export declare enum ErrorReason {
    /**
     * No reason: the job or call was accepted.
     *
     * @generated from enum value: ERROR_REASON_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * INVALID_ARGUMENT. A field is missing, malformed or out of range; google.rpc.BadRequest names each one.
     *
     * @generated from enum value: ERROR_REASON_INVALID_FIELD = 1;
     */
    INVALID_FIELD = 1,
    /**
     * NOT_FOUND. No queue of this name has ever been seen.
     *
     * @generated from enum value: ERROR_REASON_QUEUE_NOT_FOUND = 2;
     */
    QUEUE_NOT_FOUND = 2,
    /**
     * NOT_FOUND. The queue holds no job with this id: it never existed, or it is finished.
     *
     * @generated from enum value: ERROR_REASON_JOB_NOT_FOUND = 3;
     */
    JOB_NOT_FOUND = 3,
    /**
     * ALREADY_EXISTS. The idempotency key is held by a job with another type or payload; metadata job_id names it.
     *
     * @generated from enum value: ERROR_REASON_IDEMPOTENCY_MISMATCH = 4;
     */
    IDEMPOTENCY_MISMATCH = 4,
    /**
     * RESOURCE_EXHAUSTED. The queue holds as many jobs as its max_jobs setting allows.
     *
     * @generated from enum value: ERROR_REASON_QUEUE_FULL = 5;
     */
    QUEUE_FULL = 5,
    /**
     * RESOURCE_EXHAUSTED. One payload, or one request, is over its size limit in bytes.
     *
     * @generated from enum value: ERROR_REASON_TOO_LARGE = 6;
     */
    TOO_LARGE = 6,
    /**
     * RESOURCE_EXHAUSTED. The server is at its limit of streams or of queued work; RetryInfo says when to come back.
     *
     * @generated from enum value: ERROR_REASON_OVERLOADED = 7;
     */
    OVERLOADED = 7,
    /**
     * UNAVAILABLE. Redis is down, loading, read-only or cannot write its log; RetryInfo says when to come back.
     *
     * @generated from enum value: ERROR_REASON_STORE_UNAVAILABLE = 8;
     */
    STORE_UNAVAILABLE = 8,
    /**
     * RESOURCE_EXHAUSTED. Redis has no memory left for new jobs; Ack, Nack and Extend still work.
     *
     * @generated from enum value: ERROR_REASON_STORE_OUT_OF_MEMORY = 9;
     */
    STORE_OUT_OF_MEMORY = 9,
    /**
     * FAILED_PRECONDITION. The job is not in a state that allows the call, for example RunJobNow of a job in flight.
     *
     * @generated from enum value: ERROR_REASON_WRONG_STATE = 10;
     */
    WRONG_STATE = 10,
    /**
     * UNAUTHENTICATED. No credentials, or credentials that are not valid.
     *
     * @generated from enum value: ERROR_REASON_UNAUTHENTICATED = 11;
     */
    UNAUTHENTICATED = 11,
    /**
     * PERMISSION_DENIED. The credentials are valid and do not allow this call on this queue.
     *
     * @generated from enum value: ERROR_REASON_PERMISSION_DENIED = 12;
     */
    PERMISSION_DENIED = 12,
    /**
     * UNAVAILABLE. This server is shutting down; another one, or the same one in a moment, will answer.
     *
     * @generated from enum value: ERROR_REASON_DRAINING = 13;
     */
    DRAINING = 13,
    /**
     * INTERNAL. A defect in the server; metadata request_id finds it in the server's log.
     *
     * @generated from enum value: ERROR_REASON_INTERNAL = 14;
     */
    INTERNAL = 14
}
/**
 * Describes the enum relay.v1.ErrorReason.
 */
export declare const ErrorReasonSchema: GenEnum<ErrorReason>;
