"""A buyer in Python: pays for a call, then buys a plan and calls with its key.

    pip install 'x402[httpx,evm]'
    PAYER_KEY=0x… python buyer.py [http://127.0.0.1:8402]

Against `examples/demo.sh` any key will do: the money is play money.
"""

import asyncio
import os
import sys

from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.client import ExactEvmScheme


async def main(gateway: str = "http://127.0.0.1:8402") -> None:
    key = os.environ.get("PAYER_KEY")
    account = Account.from_key(key) if key else Account.create()
    client = x402Client()
    client.register("eip155:8453", ExactEvmScheme(EthAccountSigner(account)))

    async with x402HttpxClient(client, timeout=60) as pay:
        weather = await pay.get(f"{gateway}/weather?city=oslo")
        print("paid call:", weather.status_code, weather.json())

        # This client refuses to pay more than $1 at once unless its spend controls are raised; the plan is below that.
        bought = (await pay.get(f"{gateway}/x402/purchase?plan=trial")).json()
        print("bought:", bought["plan"], "until", bought["expiresAt"])

        keyed = await pay.get(f"{gateway}/weather?city=oslo", headers={"X-API-KEY": bought["apiKey"]})
        print("keyed call:", keyed.status_code, keyed.json())


asyncio.run(main(*sys.argv[1:]))
