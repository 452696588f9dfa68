"""What each optimizer costs on a task: `glissade cost`."""
