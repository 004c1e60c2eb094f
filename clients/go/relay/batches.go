package relay

// Cuts jobs into EnqueueBatch calls, and makes a result for each job of an answer or a failure. No I/O.

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const (
	// The contract allows 3 MiB with everything; the rest is room for the queue's name and the request id.
	bulkBytesMax = batchBytesMax - 1024
	// Smaller, because somebody waits for each of these jobs.
	coalescedBytesMax = 2 * mib
	// Calls in flight at once during EnqueueBatch: enough to hide the round trip.
	bulkCallsMax = 4
	// Tag and length of a job inside the request.
	framingBytes = 5
)

var jobPath = regexp.MustCompile(`^jobs\[(\d+)\]\.?`)

// Enqueued is an accepted job: its id, or with Deduplicated the id of the job that holds the idempotency key.
type Enqueued struct {
	ID           string
	Deduplicated bool
}

// Result is the end of one job of a batch: Err is nil when it was accepted, an [*Error] otherwise.
type Result struct {
	Enqueued
	Err error
}

func sizeOf(wire *relayv1.JobSpec) int { return proto.Size(wire) + framingBytes }

// toResults gives one result for each job.
func toResults(answer *relayv1.EnqueueBatchResponse, jobs []*relayv1.JobSpec) ([]Result, *Error) {
	if len(answer.GetResults()) != len(jobs) {
		return nil, &Error{
			Code: codes.Internal, kind: ErrInternal,
			Message: fmt.Sprintf("the server answered %d results for %d jobs", len(answer.GetResults()), len(jobs)),
		}
	}
	results := make([]Result, len(jobs))
	for i, result := range answer.GetResults() {
		results[i] = toResult(result, jobs[i])
	}
	return results, nil
}

func toResult(result *relayv1.EnqueueResult, job *relayv1.JobSpec) Result {
	var message string
	switch result.GetReason() {
	case relayv1.ErrorReason_ERROR_REASON_UNSPECIFIED:
		return Result{Enqueued: Enqueued{result.GetJobId(), result.GetDeduplicated()}}
	case relayv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_MISMATCH:
		message = fmt.Sprintf("idempotency key %q is held by job %s with another type, payload or content type", job.GetIdempotencyKey(), result.GetJobId())
	case relayv1.ErrorReason_ERROR_REASON_QUEUE_FULL:
		message = "the queue holds as many jobs as its max_jobs setting allows"
	default:
		message = "job " + job.GetId() + " was refused"
	}
	return Result{Err: fromReason(result.GetReason(), message, map[string]string{"job_id": result.GetJobId()})}
}

// sortOut gives, after a call with count jobs was refused, the jobs that it was refused for and the groups to send again. Both are
// empty when the failure is about the call and not about a job of it.
func sortOut(failure *Error, count int) (refused map[int]*Error, groups [][]int) {
	ofOneJob := errors.Is(failure, ErrInvalidField) || errors.Is(failure, ErrTooLarge)
	if !ofOneJob || count == 1 {
		return nil, nil
	}
	if len(failure.Violations) == 0 {
		// The error names no job: halve the batch until the culprit is alone.
		return nil, [][]int{span(0, count/2), span(count/2, count)}
	}
	refused = blamed(failure, count)
	if len(refused) == 0 {
		return nil, nil
	}
	var rest []int
	for i := range count {
		if refused[i] == nil {
			rest = append(rest, i)
		}
	}
	if len(rest) > 0 {
		groups = [][]int{rest}
	}
	return refused, groups
}

func blamed(failure *Error, count int) map[int]*Error {
	found := map[int]*Error{}
	for _, violation := range failure.Violations {
		match := jobPath.FindStringSubmatch(violation.Field)
		if match == nil {
			continue
		}
		index, err := strconv.Atoi(match[1])
		if err != nil || index >= count {
			continue
		}
		field := strings.TrimSuffix("job."+violation.Field[len(match[0]):], ".")
		own := found[index]
		if own == nil {
			own = failure.clone()
			own.Violations, own.Message = nil, ""
			found[index] = own
		}
		own.Violations = append(own.Violations, Violation{field, violation.Description})
		own.Message = strings.TrimPrefix(own.Message+"; "+field+": "+violation.Description, "; ")
	}
	return found
}

func span(from, to int) []int {
	numbers := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// chunk is what goes into one call: jobs, and their places in the caller's order.
type chunk struct {
	jobs   []*relayv1.JobSpec
	places []int
}

// chunksOf cuts jobs into calls of at most 500 jobs and 3 MiB.
func chunksOf(jobs []*relayv1.JobSpec) []chunk {
	var chunks []chunk
	var open chunk
	size := 0
	for place, job := range jobs {
		if job == nil {
			continue // refused before it was sent
		}
		own := sizeOf(job)
		if len(open.jobs) > 0 && (len(open.jobs) == batchJobsMax || size+own > bulkBytesMax) {
			chunks = append(chunks, open)
			open, size = chunk{}, 0
		}
		open.jobs, open.places = append(open.jobs, job), append(open.places, place)
		size += own
	}
	if len(open.jobs) > 0 {
		chunks = append(chunks, open)
	}
	return chunks
}
