"""Method configs, registered with nerfstudio under the entry point `nerfstudio.method_configs`. Data only."""
