"""Commands of this plugin. They sit on the top floor, as those of the core do."""
