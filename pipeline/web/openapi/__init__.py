"""The OpenAPI document: what the HTTP side takes and answers, told from the route table, the declared parameters and
`schemas/`. It decides nothing, and no request is held against it.
"""
