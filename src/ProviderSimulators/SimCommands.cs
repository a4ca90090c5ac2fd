using System.CommandLine;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Marmot.ProviderSimulators;

/// <summary><c>marmot-server sim apns|fcm</c>: runs a simulator until SIGINT or SIGTERM. Exit codes: 0 done, 1 failed, 2 wrong usage.</summary>
public static class SimCommands
{
    private static readonly JsonSerializerOptions CardJson = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The command <c>sim</c> with its two simulators, which run until SIGINT or SIGTERM.</summary>
    public static Command CreateCommand()
    {
        var sim = new Command("sim",
            "a stand-in for Apple's or Google's push service: TLS, HTTP/2, credential checks, the provider's errors, scripted verdicts");
        foreach (var simulator in SimArguments.CreateCommands(RunAsync)) sim.Add(simulator);
        return sim;
    }

    private static async Task<int> RunAsync(SimArguments arguments, ParseResult words, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        return await RunAsync(arguments, words.InvocationConfiguration.Output, words.InvocationConfiguration.Error, stop.Token);
    }

    private static async Task<int> RunAsync(SimArguments arguments, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var script = new ScriptFile();
        if (arguments.ScriptFile is not null
            && !ScriptFile.TryRead(await File.ReadAllTextAsync(arguments.ScriptFile, CancellationToken.None), out script, out var wrong))
        {
            await error.WriteLineAsync($"sim: {arguments.ScriptFile}: {wrong}");
            return 2;
        }
        try
        {
            using var capture = arguments.CaptureFile is null ? null : new CaptureFile(arguments.CaptureFile);
            return await (arguments.IsApns ? RunApnsAsync(arguments, script, capture, output, stop) : RunFcmAsync(arguments, script, capture, output, stop));
        }
        catch (Exception failure) when (failure is IOException or SocketException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            await error.WriteLineAsync("sim: " + failure.Message);
            return 1;
        }
    }

    private static async Task<int> RunApnsAsync(SimArguments arguments, ScriptFile script, CaptureFile? capture, TextWriter output, CancellationToken stop)
    {
        var folder = new CredentialFolder(arguments.Credentials);
        using var authority = folder.LoadOrCreateAuthority(arguments.Names);
        using var key = arguments.PublicKeyFile is null ? folder.LoadOrCreateApnsKey(arguments.KeyId) : ReadKey(arguments.PublicKeyFile);
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions
        {
            Address = arguments.Listen,
            Port = arguments.Port,
            Authority = authority,
            Environment = arguments.Environment,
            Keys = [new ApnsSigningKey { KeyId = arguments.KeyId, TeamId = arguments.Team, PublicKey = key }],
            TeamId = arguments.Team,
            KeyId = arguments.KeyId,
            Topics = arguments.Topics,
            InitialMaxStreams = arguments.InitialStreams,
            RaisedMaxStreams = arguments.MaxStreams,
            GoAwayAfterRequests = arguments.GoAwayAfter,
            Latency = arguments.Latency,
            OnRequest = capture is null ? null : capture.Write,
        }, stop);
        foreach (var (token, entries) in script.Tokens) apns.Script(token, entries.Select(entry => entry.ToVerdict()));
        await WriteCardAsync(output, arguments, "APNs simulator",
            ("endpoint", apns.Endpoint.ToString().TrimEnd('/')),
            ("ca file", folder.CaFile),
            ("team id", arguments.Team),
            ("key id", arguments.KeyId),
            ("key file", arguments.PublicKeyFile is null ? folder.KeyFile(arguments.KeyId) : "your own"),
            ("topics", arguments.Topics.Count == 0 ? "any" : string.Join(", ", arguments.Topics)));
        await WaitAsync(stop);
        await WriteSummaryAsync(output, arguments, apns.Requests);
        return 0;
    }

    private static async Task<int> RunFcmAsync(SimArguments arguments, ScriptFile script, CaptureFile? capture, TextWriter output, CancellationToken stop)
    {
        var folder = new CredentialFolder(arguments.Credentials);
        using var authority = folder.LoadOrCreateAuthority(arguments.Names);
        using var key = folder.LoadOrCreateServiceAccountKey();
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions
        {
            Address = arguments.Listen,
            Port = arguments.Port,
            PublicHost = arguments.Names is [var first, ..] ? first : "localhost",
            Authority = authority,
            ProjectId = arguments.Project,
            ServiceAccountKey = key,
            Latency = arguments.Latency,
            OnRequest = capture is null ? null : capture.Write,
        }, stop);
        folder.WriteServiceAccount(fcm.ServiceAccountJson);
        foreach (var (token, entries) in script.Tokens) fcm.Script(token, entries.Select(entry => entry.ToVerdict()));
        fcm.ScriptOAuth(script.OAuth.Select(entry => entry.ToVerdict()));
        await WriteCardAsync(output, arguments, "FCM simulator",
            ("endpoint", fcm.Endpoint.ToString().TrimEnd('/')),
            ("token uri", fcm.TokenUri.ToString()),
            ("ca file", folder.CaFile),
            ("project id", arguments.Project),
            ("service account file", folder.ServiceAccountFile));
        await WaitAsync(stop);
        await WriteSummaryAsync(output, arguments, fcm.Requests);
        return 0;
    }

    // A public key, or a .p8 of which only the public half is used.
    private static ECDsa ReadKey(string file)
    {
        var key = ECDsa.Create();
        key.ImportFromPem(File.ReadAllText(file));
        return key;
    }

    private static async Task WriteCardAsync(TextWriter output, SimArguments arguments, string title, params (string Name, string Value)[] lines)
    {
        if (arguments.Json)
        {
            await output.WriteLineAsync(JsonSerializer.Serialize(lines.ToDictionary(line => line.Name.Replace(' ', '_'), line => line.Value), CardJson));
        }
        else
        {
            await output.WriteLineAsync(title);
            foreach (var (name, value) in lines) await output.WriteLineAsync($"  {name,-22}{value}");
            if (arguments.CaptureFile is not null) await output.WriteLineAsync($"  {"capture",-22}{Path.GetFullPath(arguments.CaptureFile)}");
            await output.WriteLineAsync("Ctrl-C stops it.");
        }
        await output.FlushAsync(CancellationToken.None);
    }

    private static async Task WriteSummaryAsync(TextWriter output, SimArguments arguments, IReadOnlyList<SimulatedRequest> requests)
    {
        var accepted = requests.Count(request => request.Accepted);
        await output.WriteLineAsync(arguments.Json
            ? JsonSerializer.Serialize(new
            {
                requests = requests.Count,
                accepted,
                devices = requests.Select(request => request.Token).Distinct().Count(),
            }, CardJson)
            : $"{requests.Count} requests, {accepted} accepted, {requests.Select(request => request.Token).Distinct().Count()} devices");
    }

    private static async Task WaitAsync(CancellationToken stop)
    {
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = stop.Register(() => stopped.TrySetResult());
        await stopped.Task;
    }
}
