"""Where keys come from: files, the own key ring, remote sets, discovery."""
