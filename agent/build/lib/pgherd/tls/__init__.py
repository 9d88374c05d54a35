"""Certificates as files: what is mounted is proved, then copied to where it is used from. No network.

pair.py    three files, their fingerprints, and the proof that they work together
take.py    from the mounted folder to the folder in use, all or nothing
"""
