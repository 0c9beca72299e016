"""Parts of the residual explorer: what it says, draws and does behind the page."""
