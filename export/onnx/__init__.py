"""ONNX: conversion, the rewrites it needs, and int8."""
