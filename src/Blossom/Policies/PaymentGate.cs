using Marmot.Blossom.Refusals;
using Marmot.Protocol.Encoding;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Policies;

/// <summary>Takes an upload past the desk (BUD-07): its question from the headers, its answer as a refusal or none.</summary>
internal sealed class PaymentGate(IPaymentDesk desk)
{
    public async ValueTask<Refusal?> CheckAsync(HttpContext context, Bytes32? hash, long? bytes, string type)
    {
        var headers = context.Request.Headers;
        var question = new PaymentQuestion(hash, bytes, type, HttpMethods.IsHead(context.Request.Method), headers["X-Cashu"], headers["X-Lightning"]);
        var answer = await desk.CheckAsync(question, context.RequestAborted);
        switch (answer.Verdict)
        {
            case PaymentVerdict.Settled:
                return null;
            case PaymentVerdict.BadProof:
                return Refusal.BadPayment;
            default:
                Offer(context.Response, "X-Cashu", answer.Cashu);
                Offer(context.Response, "X-Lightning", answer.Lightning);
                return Refusal.PaymentDue;
        }
    }

    private static void Offer(HttpResponse response, string name, string? request)
    {
        if (request is not null)
        {
            response.Headers[name] = request;
        }
    }
}
