package mux

// dispatch gives a job to a worker that waits for one, or to a new one.
func (s *Session) dispatch(j job) {
	quiet := s.quiet()
	if quiet && s.bells.give(j) {
		return
	}
	s.woken = true
	select {
	case s.jobs <- j:
		return
	default:
	}
	if quiet || !s.bells.give(j) {
		s.workers.Go(func() { s.work(j) })
	}
}

func (s *Session) work(j job) {
	for more := true; more; {
		s.serve(j)
		if s.idle.Add(1) > maxIdleWorkers {
			s.idle.Add(-1)
			return
		}
		j, more = s.nextJob()
		s.idle.Add(-1)
	}
}

// nextJob waits for one; more is false when the session has ended.
func (s *Session) nextJob() (j job, more bool) {
	if s.quiet() {
		if j, rested := s.bells.rest(); rested {
			return j, j.stream != nil
		}
	}
	j, more = <-s.jobs
	return j, more
}

func (s *Session) serve(j job) {
	defer s.endIfIdle()
	defer s.serving.Add(-1)
	defer j.stream.finish()
	s.config.Handle(j.stream, j.head)
}
