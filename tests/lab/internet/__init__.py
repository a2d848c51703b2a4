"""The lab's small internet: Homebrew's files and Ollama's registry over plain HTTP."""
