"""What people are told of the warehouse and its stores: looked at now and then, told in figures."""
