"""What starts by itself: sensors, schedules, conditions and hooks, all of them off until params.yaml says otherwise."""
