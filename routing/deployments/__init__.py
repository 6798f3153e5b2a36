"""Deployments: releases, runs with evidence, their documents, and the claims of imported ones."""
