using System.Buffers;
using System.ComponentModel;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Ingest;

/// <summary>What the operator's program decided.</summary>
internal enum PolicyAction
{
    Accept,
    Reject,

    /// <summary>The sender hears OK true, and nothing is stored or passed on.</summary>
    ShadowReject,
}

/// <summary>A program of the operator's that is asked about each verified event: one JSON line in, one out, the protocol of strfry's write-policy
/// plugins.</summary>
/// <remarks>
/// One question at a time. A program that ends, answers nonsense or is silent too long is killed, the event is refused with <c>error:</c>,
/// and the next event starts it anew; so does a change of its file. Addresses are told only when the operator wants it.
/// </remarks>
internal sealed class WritePolicyProgram(IOptions<RelayOptions> options, TimeProvider clock, ILogger<WritePolicyProgram> log) : IDisposable
{
    private const int MaxForeignLines = 100;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RestartPause = TimeSpan.FromSeconds(1);
    private readonly string _path = options.Value.WritePolicyProgram;
    private readonly bool _tellAddress = options.Value.WritePolicyAddresses;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private Process? _process;
    private DateTime _fileTime;
    private long _failedAt;

    public bool IsOn => _path.Length > 0;

    /// <summary>Asks; the text of a rejection is the program's.</summary>
    public async ValueTask<(PolicyAction Action, RejectReason Reason)> AskAsync(EventRecord record, IPAddress? address, Bytes32[] keys,
        CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel);
        try
        {
            if (_failedAt != 0 && clock.GetElapsedTime(_failedAt) < RestartPause)
            {
                return (PolicyAction.Reject, Rejections.PolicySilent);
            }

            using var deadline = new CancellationTokenSource(AnswerTimeout, clock);
            return await AskAsync(Question(record, address, keys), record.Id.ToString(), deadline.Token);
        }
        catch (Exception exception)
            when (exception is IOException or JsonException or Win32Exception or InvalidOperationException or OperationCanceledException)
        {
            log.PolicyFailed(exception.Message);
            Stop();
            _failedAt = clock.GetTimestamp();
            return (PolicyAction.Reject, Rejections.PolicySilent);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose()
    {
        Stop();
        _turn.Dispose();
    }

    private async Task<(PolicyAction Action, RejectReason Reason)> AskAsync(ReadOnlyMemory<byte> question, string id, CancellationToken cancel)
    {
        var process = Running();
        await process.StandardInput.BaseStream.WriteAsync(question, cancel);
        await process.StandardInput.BaseStream.FlushAsync(cancel);
        for (var i = 0; i < MaxForeignLines; i++)
        {
            var line = await process.StandardOutput.ReadLineAsync(cancel) ?? throw new IOException("the write policy program ended");
            using var answer = JsonDocument.Parse(line);
            if (answer.RootElement.GetProperty("id").GetString() == id)
            {
                _failedAt = 0;
                return Read(answer.RootElement);
            }
        }

        throw new IOException("the write policy program answers about other events");
    }

    private static (PolicyAction Action, RejectReason Reason) Read(JsonElement answer)
    {
        var text = answer.TryGetProperty("msg", out var msg) && msg.ValueKind == JsonValueKind.String ? msg.GetString()! : "";
        return answer.GetProperty("action").GetString() switch
        {
            "accept" => (PolicyAction.Accept, default),
            "shadowReject" => (PolicyAction.ShadowReject, default),
            "reject" => (PolicyAction.Reject, ToReason(text)),
            _ => throw new IOException("the write policy program answers with an unknown action"),
        };
    }

    // "blocked: not you" or any other text.
    private static RejectReason ToReason(string text)
    {
        var colon = text.IndexOf(": ", StringComparison.Ordinal);
        var prefix = colon > 0 ? RejectPrefixes.Read(text.AsSpan(0, colon)) : RejectPrefix.None;
        return prefix != RejectPrefix.None ? new RejectReason(prefix, text[(colon + 2)..])
            : colon > 0 && !text.AsSpan(0, colon).Contains(' ') ? new RejectReason(RejectPrefix.None, text) // the program's own prefix
            : RejectReason.Blocked(text.Length > 0 ? text : "refused by the relay's policy");
    }

    private ReadOnlyMemory<byte> Question(EventRecord record, IPAddress? address, Bytes32[] keys)
    {
        var output = new ArrayBufferWriter<byte>(record.Json.Length + 256);
        using (var json = new Utf8JsonWriter(output))
        {
            json.WriteStartObject();
            json.WriteString("type", "new");
            json.WritePropertyName("event");
            json.WriteRawValue(record.Json, skipInputValidation: true);
            json.WriteNumber("receivedAt", clock.GetUtcNow().ToUnixTimeSeconds());
            json.WriteString("sourceType", address is { AddressFamily: AddressFamily.InterNetworkV6, IsIPv4MappedToIPv6: false } ? "IP6" : "IP4");
            json.WriteString("sourceInfo", _tellAddress && address is not null ? CallerAddress.Unmapped(address).ToString() : "");
            if (keys.Length > 0)
            {
                json.WriteString("authed", keys[0].ToString());
            }

            json.WriteEndObject();
        }

        output.Write("\n"u8);
        return output.WrittenMemory;
    }

    private Process Running()
    {
        var changed = File.GetLastWriteTimeUtc(_path);
        if (_process is { HasExited: false } running && changed == _fileTime)
        {
            return running;
        }

        Stop();
        _fileTime = changed;
        _process = Process.Start(new ProcessStartInfo(_path) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        return _process;
    }

    private void Stop()
    {
        if (_process is { } process)
        {
            _process = null;
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }

            process.Dispose();
        }
    }
}
