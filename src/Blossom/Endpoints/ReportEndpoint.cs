using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Reports;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>PUT /report (BUD-09): a signed kind 1984 event with x tags goes to a file the operator reads; nothing happens by itself, ciphertext cannot be
/// judged.</summary>
internal sealed class ReportEndpoint(UploadPolicy policy, ReportFile reports, IOptions<BlossomOptions> options)
{
    private const int ReportKind = EventKinds.Report;

    public async Task<Refusal?> PutAsync(HttpContext context)
    {
        if (!options.Value.TakesReports)
        {
            return Refusal.NotOffered("PUT /report");
        }

        if (policy.CheckRate(context.Connection.RemoteIpAddress) is { } tooOften)
        {
            return tooOften;
        }

        if (await SmallBody.ReadAsync(context) is not { } body)
        {
            return Refusal.TooLarge(SmallBody.MaxBytes);
        }

        if (!NostrEvent.TryParse(body, out var report, out _) || report!.Kind != ReportKind
            || !report.Tags.Any(tag => tag is ["x", var hash, ..] && Bytes32.TryParseHex(hash.AsSpan(), out _)) || !report.TryVerify(out _))
        {
            return Refusal.BadRequest("bad_report", "send a signed kind 1984 event with at least one x tag");
        }

        return await reports.TryAppendAsync(report, context.RequestAborted) ? null : Refusal.Full;
    }
}
