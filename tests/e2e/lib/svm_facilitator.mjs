// A real x402 facilitator for Solana: unmodified packages, several accounts that pay the fees.
import { x402Facilitator } from "@x402/core/facilitator";
import { SettlementCache, toFacilitatorSvmSigner } from "@x402/svm";
import { ExactSvmScheme } from "@x402/svm/exact/facilitator";
import { ExactSvmSchemeV1 } from "@x402/svm/exact/v1/facilitator";
import { serveFacilitator } from "./facilitator.mjs";
import { SOLANA } from "./svm.mjs";

export async function startSvmFacilitator(chain) {
  const confirmations = { delayed: false };
  const feePayers = await Promise.all([1, 2, 3].map(chain.newFeePayer));
  const signer = signerOn(chain, feePayers, confirmations);
  const served = await serveFacilitator(facilitatorOf(signer), confirmations);
  return {
    ...served,
    /** The addresses of all that pay fees. */
    feePayers: feePayers.map(({ address }) => address),
    /** From now on only this one does. */
    onlyFeePayer: address => feePayers.splice(0, feePayers.length, ...feePayers.filter(payer => payer.address === address)),
    /** The same payment at a second machine of the same facilitator, which shares no memory with the first: anybody may ask it. */
    settleElsewhere: payload => facilitatorOf(signer).settle(payload, payload.accepted),
  };
}

function facilitatorOf(signer) {
  const cache = new SettlementCache();
  return new x402Facilitator()
    .register(SOLANA, new ExactSvmScheme(signer, cache))
    .registerV1("solana", new ExactSvmSchemeV1(signer, cache));
}

// The package's signer has one key; a facilitator with several names one of them at random in each `/supported`.
function signerOn(chain, feePayers, confirmations) {
  const signers = feePayers.map(({ signer }) => toFacilitatorSvmSigner(signer, { defaultRpcUrl: chain.url }));
  const of = feePayer => signers.find(signer => signer.getAddresses().includes(feePayer));
  return {
    ...signers[0],
    getAddresses: () => feePayers.map(({ address }) => address),
    getSigner: feePayer => of(feePayer).getSigner(feePayer),
    signTransaction: (transaction, feePayer, network) => of(feePayer).signTransaction(transaction, feePayer, network),
    async confirmTransaction(signature, network) {
      if (confirmations.delayed) throw new Error("Transaction confirmation timeout");
      return signers[0].confirmTransaction(signature, network);
    },
  };
}
