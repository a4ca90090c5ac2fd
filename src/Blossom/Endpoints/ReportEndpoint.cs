using System.Text;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>PUT /report (BUD-09): a signed kind 1984 event with x tags goes to a file the operator reads; nothing happens by itself, ciphertext cannot be
/// judged.</summary>
internal sealed class ReportEndpoint(UploadPolicy policy, BlossomFolders folders, IOptions<BlossomOptions> options) : IDisposable
{
    private const int ReportKind = 1984; // NIP-56
    private const long MaxQueueBytes = 64L * 1024 * 1024;
    private readonly SemaphoreSlim _writing = new(1, 1);

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

        await _writing.WaitAsync(context.RequestAborted);
        try
        {
            await using var file = new FileStream(folders.Reports, FileMode.Append, FileAccess.Write, FileShare.Read);
            if (file.Length > MaxQueueBytes)
            {
                return Refusal.Full;
            }

            await file.WriteAsync(report.Json, CancellationToken.None);
            await file.WriteAsync("\n"u8.ToArray(), CancellationToken.None);
            file.Flush(flushToDisk: true);
        }
        finally
        {
            _writing.Release();
        }

        return null;
    }

    public void Dispose() => _writing.Dispose();
}
