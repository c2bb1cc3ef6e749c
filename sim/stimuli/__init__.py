"""What units are tested with: rows, sets, and configurations for them; one provider a family."""
