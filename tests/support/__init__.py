"""What several folders of tests share: waiting, time limits, skips, signals. What only one folder needs stays there."""
