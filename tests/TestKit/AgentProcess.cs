using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Marmot.TestKit;

/// <summary>The real <c>marmot agent</c>, driven over stdin and stdout as the build left it in src/Cli. The test project must reference Cli, so that it is
/// built first.</summary>
public sealed class AgentProcess : IAsyncDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly StringBuilder _errors = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource<JsonObject>> _waiting = new();
    private readonly Task _reading;
    private long _lastId;

    private AgentProcess(Process process)
    {
        _process = process;
        _process.ErrorDataReceived += (_, line) => _errors.AppendLine(line.Data);
        _process.Start();
        _process.BeginErrorReadLine();
        _reading = ReadAsync();
    }

    public static AgentProcess Start()
    {
        string configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            ? "Release"
            : "Debug";
        string program = Path.Combine(MarmotServerProcess.RepositoryRoot, "src", "Cli", "bin", configuration, "net10.0", "marmot.dll");
        return new AgentProcess(new Process
        {
            StartInfo = new ProcessStartInfo("dotnet", [program, "agent"])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            },
        });
    }

    /// <summary>Sends a request and gives its result; a refusal fails the test with the agent's words.</summary>
    public async Task<JsonObject> AskAsync(string command, object? arguments = null)
    {
        var answer = await AnswerAsync(command, arguments);
        return answer["ok"]!.GetValue<bool>() ? answer["result"]!.AsObject() : throw new InvalidOperationException($"{command}: {answer["error"]}");
    }

    /// <summary>Sends a request that is to be refused; gives the words.</summary>
    public async Task<string> RefusalAsync(string command, object? arguments = null)
    {
        var answer = await AnswerAsync(command, arguments);
        return !answer["ok"]!.GetValue<bool>() ? answer["error"]!.GetValue<string>() : throw new InvalidOperationException($"{command} was not refused");
    }

    /// <summary>SIGKILL, in the middle of whatever it does.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        await _reading;
    }

    /// <summary>Ends its input; the exit code.</summary>
    public async Task<int> EndAsync()
    {
        _process.StandardInput.Close();
        using var deadline = new CancellationTokenSource(AnswerTimeout);
        await _process.WaitForExitAsync(deadline.Token);
        await _reading;
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        await _reading;
        _process.Dispose();
    }

    private async Task<JsonObject> AnswerAsync(string command, object? arguments)
    {
        long id = Interlocked.Increment(ref _lastId);
        var request = arguments is null ? [] : JsonSerializer.SerializeToNode(arguments)!.AsObject();
        request["id"] = id;
        request["cmd"] = command;
        var answer = _waiting[id] = new(TaskCreationOptions.RunContinuationsAsynchronously);
        string line = request.ToJsonString();
        lock (_waiting)
        {
            _process.StandardInput.WriteLine(line);
            _process.StandardInput.Flush();
        }

        return await answer.Task.WaitAsync(AnswerTimeout);
    }

    private async Task ReadAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            // Anything but an answer on stdout is a fault of the agent and fails here.
            var answer = JsonNode.Parse(line)!.AsObject();
            if (answer["id"] is { } id && _waiting.TryRemove(id.GetValue<long>(), out var waiting))
            {
                waiting.TrySetResult(answer);
            }
        }

        foreach (var waiting in _waiting.Values)
        {
            waiting.TrySetException(new EndOfStreamException($"the agent ended:\n{_errors}"));
        }
    }
}
