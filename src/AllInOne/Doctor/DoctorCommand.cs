using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Client;
using Marmot.Protocol.Encoding;
using Marmot.Terminal;

namespace Marmot.AllInOne.Doctor;

/// <summary><c>marmot-server doctor</c>: proves a deployment from the outside, step by step with times.</summary>
internal static class DoctorCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    internal static Command CreateCommand()
    {
        var relay = Define.Parsed<Uri?>("--relay", "URL", "the relay, ws:// or wss:// (without any option: ws://127.0.0.1:8080)", text =>
            RelayUrls.IsValid(text) ? (new Uri(text), null) : (null, "takes a ws:// or wss:// URL"));
        var blossom = Define.Parsed<Uri?>("--blossom", "URL", "the blob store: an encrypted blob goes there and back", text =>
            Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "http" or "https" ? (url, null) : (null, "takes an http:// or https:// URL"));
        var notify = Define.Parsed<Bytes32?>("--notify", "NPUB", "the push server: gets a padding-only trigger", text =>
            Nip19.TryDecodePublicKeyOrHex(text, out var key) ? (key, null) : (null, "takes an npub"));
        var json = Define.Flag("--json", "the steps as one JSON object");
        var command = new Command("doctor",
            "prove a deployment from the outside, step by step: with two throw-away identities through a group's life; deletes what it left behind")
        {
            relay, blossom, notify, json,
        };
        command.SetAction((words, _) =>
            RunAsync(DoctorOptions.For(words.GetValue(relay), words.GetValue(blossom), words.GetValue(notify), words.GetValue(json))));
        return command;
    }

    private static async Task<int> RunAsync(DoctorOptions options)
    {
        using var cancel = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            cancel.Cancel();
        };
        var steps = new List<DoctorStep>();
        await using var check = new DeploymentCheck(options, TimeProvider.System);
        await foreach (var step in check.RunAsync(cancel.Token))
        {
            steps.Add(step);
            if (!options.Json)
            {
                string mark = step.Outcome switch { DoctorOutcome.Passed => "ok  ", DoctorOutcome.Failed => "FAIL", _ => "-   " };
                string time = step.Outcome == DoctorOutcome.Skipped
                    ? ""
                    : string.Create(CultureInfo.InvariantCulture, $"{step.Elapsed.TotalMilliseconds:F0} ms");
                Console.WriteLine($"  {mark} {time,9}  {step.Name}{(step.Detail.Length > 0 ? ": " + step.Detail : "")}");
            }
        }

        bool passed = steps.TrueForAll(step => step.Outcome != DoctorOutcome.Failed);
        double total = steps.Sum(step => step.Elapsed.TotalMilliseconds);
        if (options.Json)
        {
            var report = new JsonObject
            {
                ["ok"] = passed,
                ["relay"] = options.Relay.AbsoluteUri,
                ["milliseconds"] = Math.Round(total, 1),
                ["steps"] = new JsonArray(
                    [.. steps.Select(step => new JsonObject
                    {
                        ["name"] = step.Name,
                        ["outcome"] = step.Outcome switch { DoctorOutcome.Passed => "passed", DoctorOutcome.Failed => "failed", _ => "skipped" },
                        ["milliseconds"] = Math.Round(step.Elapsed.TotalMilliseconds, 1),
                        ["detail"] = step.Detail,
                    })]),
            };
            Console.WriteLine(report.ToJsonString(Indented));
        }
        else
        {
            Console.WriteLine();
            Console.WriteLine(passed
                ? string.Create(CultureInfo.InvariantCulture, $"  the deployment works ({total / 1000:F1} s)")
                : "  the deployment does not work; the first step that failed says why");
        }

        return passed ? ExitCodes.Done : ExitCodes.Failed;
    }
}
