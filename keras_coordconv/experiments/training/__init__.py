"""What every training run needs: flags, the run folder, seeds, callbacks."""
