"""Parts of the complexity explorer: what it says, draws and does behind the page."""
