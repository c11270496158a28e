"""What every Python app of dyno shares: SQL, rows to JSON, parameters, settings, fibonacci, facts.

Frameworks are never imported here, and a driver only by the module that is named for it, so that each app
stands alone.
"""

VERSION = "1.0.0"
