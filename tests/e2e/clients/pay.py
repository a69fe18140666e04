"""Sends one request that pays when asked to, and prints the answer as a line of JSON.

Usage: PAYER_KEY=0x… pay.py URL [METHOD [BODY [CONTENT_TYPE]]]
"""

import asyncio
import json
import os
import sys

from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.client import ExactEvmScheme


async def main(url: str, method: str = "GET", body: str = "", content_type: str = "") -> None:
    client = x402Client()
    client.register("eip155:8453", ExactEvmScheme(EthAccountSigner(Account.from_key(os.environ["PAYER_KEY"]))))
    headers = {"content-type": content_type} if content_type else {}
    async with x402HttpxClient(client, timeout=30) as http:
        response = await http.request(method, url, content=body.encode(), headers=headers)
    print(json.dumps({"status": response.status_code, "headers": dict(response.headers), "body": response.text}))


asyncio.run(main(*sys.argv[1:]))
