"""What tests read: databases of earlier versions."""
