package relay

// The contract's limits that the SDK checks itself, by the names of docs/protocol.md.

const (
	queuesPerClaimMax = 32
	weightMax         = 100
	workerIDBytesMax  = 128
	inFlightMax       = 10_000
	leaseMsMin        = 1_000
	leaseMsMax        = 3_600_000
	leaseMsDefault    = 30_000

	typeBytesMax    = 128
	headersMax      = 32
	headersBytesMax = 8 << 10
	priorityMax     = 9
	maxAttemptsMax  = 1_000

	batchJobsMax    = 500
	batchBytesMax   = 3 << 20
	messageBytesMax = 4 << 20

	noteBytesMax      = 200
	errorTypeBytesMax = 128
	errorBytesMax     = 8 << 10
	delayMsMax        = 365 * 24 * 3_600_000
)
