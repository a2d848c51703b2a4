"""Which commands of a Mac the stand-ins for launchd and Homebrew provide."""

COMMANDS: dict[str, str] = {
    "/bin/launchctl": "launchctl",
    "/usr/local/libexec/lab-homebrew-install": "brew_setup",
}
