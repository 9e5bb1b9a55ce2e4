package events

import "slices"

// WorkflowType names a long operation; the names are those of the API that
// Terminus speaks.
type WorkflowType string

// The workflow types of this version.
const (
	WorkflowCreateSite WorkflowType = "create_site"
	WorkflowDeleteSite WorkflowType = "delete_site"
)

// WorkflowStep names one step of a workflow.
type WorkflowStep string

// The steps of the workflow types, in the order they are taken.
const (
	// create_site
	StepClaimName         WorkflowStep = "claim_name"
	StepCreateSite        WorkflowStep = "create_site"
	StepCreateEnvironment WorkflowStep = "create_environment"
	StepImportCode        WorkflowStep = "import_code"
	StepCreateDatabase    WorkflowStep = "create_database"
	StepCreateFiles       WorkflowStep = "create_files"
	StepDeployCode        WorkflowStep = "deploy_code"
	StepPlaceDrop         WorkflowStep = "place_drop"
	StepActivateSite      WorkflowStep = "activate_site"
	// delete_site, and the way back of a create_site that failed
	StepRequestDeletion   WorkflowStep = "request_deletion"
	StepRetireDrops       WorkflowStep = "retire_drops"
	StepRetireBindings    WorkflowStep = "retire_bindings"
	StepDeleteEnvironment WorkflowStep = "delete_environment"
	StepDeleteSite        WorkflowStep = "delete_site"
	StepReleaseName       WorkflowStep = "release_name"
)

// WorkflowStarted begins a workflow with all it needs to know.
type WorkflowStarted struct {
	Workflow    WorkflowID     `json:"workflow"`
	Type        WorkflowType   `json:"type"`
	Description string         `json:"description"`
	Site        SiteID         `json:"site"`
	Environment EnvironmentID  `json:"environment,omitzero"`
	Steps       []WorkflowStep `json:"steps"`
	// Create holds what create_site was asked for.
	Create *CreateSite `json:"create,omitzero"`
}

// CreateSite is what a create_site workflow was asked for.
type CreateSite struct {
	Name      string              `json:"name"`
	Label     string              `json:"label"`
	Owner     AccountID           `json:"owner"`
	Upstream  UpstreamID          `json:"upstream"`
	Framework Framework           `json:"framework"`
	Source    CodeSource          `json:"source"`
	Settings  EnvironmentSettings `json:"settings"` // of dev
}

// WorkflowStepDone says that a step's effect is in the log.
type WorkflowStepDone struct {
	Workflow WorkflowID   `json:"workflow"`
	Step     WorkflowStep `json:"step"`
}

// WorkflowStepFailed says that a step can never be done. The workflow goes
// back: Undo lists the steps it takes instead of those that were left.
type WorkflowStepFailed struct {
	Workflow WorkflowID     `json:"workflow"`
	Step     WorkflowStep   `json:"step"`
	Reason   string         `json:"reason"`
	Undo     []WorkflowStep `json:"undo"`
}

// WorkflowSucceeded ends a workflow whose every step is done.
type WorkflowSucceeded struct {
	Workflow WorkflowID `json:"workflow"`
}

// WorkflowFailed ends a workflow that went back.
type WorkflowFailed struct {
	Workflow WorkflowID `json:"workflow"`
	Reason   string     `json:"reason"`
}

func (WorkflowStarted) isEvent()    {}
func (WorkflowStepDone) isEvent()   {}
func (WorkflowStepFailed) isEvent() {}
func (WorkflowSucceeded) isEvent()  {}
func (WorkflowFailed) isEvent()     {}

// Known says whether the type is one of the constants.
func (t WorkflowType) Known() bool { return t.Stages() != nil }

// Stages gives the steps of a workflow type in their order. The steps of one
// stage run side by side; a stage begins when the one before it is done. An
// unknown type has none. The caller owns the slices.
func (t WorkflowType) Stages() [][]WorkflowStep {
	switch t {
	case WorkflowCreateSite:
		return [][]WorkflowStep{
			{StepClaimName}, {StepCreateSite}, {StepCreateEnvironment},
			{StepImportCode, StepCreateDatabase, StepCreateFiles},
			{StepDeployCode}, {StepPlaceDrop}, {StepActivateSite},
		}
	case WorkflowDeleteSite:
		return [][]WorkflowStep{
			{StepRequestDeletion}, {StepRetireDrops}, {StepRetireBindings},
			{StepDeleteEnvironment}, {StepDeleteSite}, {StepReleaseName},
		}
	}
	return nil
}

// UndoStages gives the steps of the way back in their order, with the meaning
// of Stages. A workflow takes only those of its Undo list. A delete_site has
// no way back.
func (t WorkflowType) UndoStages() [][]WorkflowStep {
	if t != WorkflowCreateSite {
		return nil
	}
	return [][]WorkflowStep{
		{StepRequestDeletion}, {StepRetireDrops}, {StepRetireBindings},
		{StepDeleteEnvironment}, {StepDeleteSite}, {StepReleaseName},
	}
}

// Undo gives the steps of UndoStages that are needed when failed can never be
// done. A step that is refused by one actor (claim_name, create_site,
// create_environment) leaves nothing when it fails; the others may have left a
// part, and so may the steps that run beside them.
func (t WorkflowType) Undo(done []WorkflowStep, failed WorkflowStep) []WorkflowStep {
	created := func(step WorkflowStep) bool { return slices.Contains(done, step) }
	touched := func(step WorkflowStep) bool { return created(step) || failed == step }
	needed := map[WorkflowStep]bool{
		StepRequestDeletion:   created(StepCreateSite),
		StepRetireDrops:       touched(StepPlaceDrop),
		StepRetireBindings:    created(StepCreateEnvironment),
		StepDeleteEnvironment: created(StepCreateEnvironment),
		StepDeleteSite:        created(StepCreateSite),
		StepReleaseName:       created(StepClaimName),
	}
	var undo []WorkflowStep
	for _, stage := range t.UndoStages() {
		for _, step := range stage {
			if needed[step] {
				undo = append(undo, step)
			}
		}
	}
	return undo
}

// Open gives the steps that may run now on the way forward: those of the first
// stage that is not wholly in done. It is empty when all are done.
func (t WorkflowType) Open(done []WorkflowStep) []WorkflowStep {
	return open(t.Stages(), func(step WorkflowStep) bool { return !slices.Contains(done, step) })
}

// OpenUndo is Open on the way back; undo is the Undo list of
// WorkflowStepFailed.
func (t WorkflowType) OpenUndo(undo, done []WorkflowStep) []WorkflowStep {
	return open(t.UndoStages(), func(step WorkflowStep) bool {
		return slices.Contains(undo, step) && !slices.Contains(done, step)
	})
}

func open(stages [][]WorkflowStep, wanted func(WorkflowStep) bool) []WorkflowStep {
	for _, stage := range stages {
		var steps []WorkflowStep
		for _, step := range stage {
			if wanted(step) {
				steps = append(steps, step)
			}
		}
		if len(steps) > 0 {
			return steps
		}
	}
	return nil
}
