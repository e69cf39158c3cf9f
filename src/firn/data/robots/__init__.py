"""robots.txt: pages that a site's owner keeps from the robots that gather text for training."""
