"""ONNX: conversion, the rewrites it needs, int8, and running the result."""
