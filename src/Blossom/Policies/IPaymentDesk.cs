using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Policies;

/// <summary>BUD-07, the seam: who asks money for uploads and mirrors. This server ships <see cref="NoPayment"/>; a host registers its own before
/// <c>AddBlossom</c>.</summary>
public interface IPaymentDesk
{
    /// <summary>Asked before the body is read, when all other rules let the upload pass; for a mirror when the origin has told the length.</summary>
    ValueTask<PaymentAnswer> CheckAsync(PaymentQuestion question, CancellationToken cancellationToken);
}

/// <summary>An upload to be paid, or the preflight of one.</summary>
/// <param name="Hash">The announced hash; null when it was not announced.</param>
/// <param name="Bytes">Its declared size; null when it was not declared.</param>
/// <param name="Type">Its declared MIME type.</param>
/// <param name="IsPreflight">HEAD: tell the price, take no payment.</param>
/// <param name="Cashu">The client's <c>X-Cashu</c> header, its payment (NUT-24).</param>
/// <param name="Lightning">The client's <c>X-Lightning</c> header, the preimage of its payment (BOLT-11).</param>
public sealed record PaymentQuestion(Bytes32? Hash, long? Bytes, string Type, bool IsPreflight, string? Cashu, string? Lightning);

/// <summary>What the desk says.</summary>
/// <param name="Verdict">Whether the upload may go on.</param>
/// <param name="Cashu">With <see cref="PaymentVerdict.Due"/>: the <c>X-Cashu</c> request to the client.</param>
/// <param name="Lightning">With <see cref="PaymentVerdict.Due"/>: the <c>X-Lightning</c> invoice to the client.</param>
public readonly record struct PaymentAnswer(PaymentVerdict Verdict, string? Cashu = null, string? Lightning = null);

/// <summary>May the upload go on?</summary>
public enum PaymentVerdict
{
    /// <summary>Free, or paid.</summary>
    Settled,

    /// <summary>402: pay one of the requests and send the upload again.</summary>
    Due,

    /// <summary>400: the proof of payment is not good.</summary>
    BadProof,
}

/// <summary>Everything is free.</summary>
internal sealed class NoPayment : IPaymentDesk
{
    public ValueTask<PaymentAnswer> CheckAsync(PaymentQuestion question, CancellationToken cancellationToken) => ValueTask.FromResult(default(PaymentAnswer));
}
