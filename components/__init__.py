"""The science of LLDif: faces, camera, model, learning, gates. Knows nothing of the engines that run it."""
