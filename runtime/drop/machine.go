package drop

import "pantheon/runtime/drop/machine"

// The state machine of a DROP's process, by the names that this package and
// its users know it by.
type (
	State  = machine.State
	Phase  = machine.Phase
	Input  = machine.Input
	Effect = machine.Effect

	PrepareBegan  = machine.PrepareBegan
	Prepared      = machine.Prepared
	PrepareFailed = machine.PrepareFailed
	WakeRequested = machine.WakeRequested
	WaitAbandoned = machine.WaitAbandoned
	RequestDone   = machine.RequestDone
	Started       = machine.Started
	StartFailed   = machine.StartFailed
	Exited        = machine.Exited
	IdleCheck     = machine.IdleCheck
	SleepOrdered  = machine.SleepOrdered
	Adopted       = machine.Adopted

	Start     = machine.Start
	Stop      = machine.Stop
	CheckIdle = machine.CheckIdle
	Admit     = machine.Admit
	Hold      = machine.Hold
	Refuse    = machine.Refuse
	Dismiss   = machine.Dismiss
	Report    = machine.Report
)

// The phases.
const (
	Unprepared = machine.Unprepared
	Preparing  = machine.Preparing
	Asleep     = machine.Asleep
	Starting   = machine.Starting
	Awake      = machine.Awake
	Stopping   = machine.Stopping
	Failed     = machine.Failed
)

// The bounds of the state machine.
const (
	FirstRetry   = machine.FirstRetry
	MaxRetry     = machine.MaxRetry
	StartTimeout = machine.StartTimeout
	StopGrace    = machine.StopGrace
	MaxWaiting   = machine.MaxWaiting
)
