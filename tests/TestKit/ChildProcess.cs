using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Marmot.TestKit;

/// <summary>A program started by a test, with all it wrote to stdout and stderr. Killed when disposed.</summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private const int SigHup = 1;
    private const int SigInt = 2;
    private const int SigTerm = 15;

    private readonly string _program;
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly Lock _gate = new();
    private TaskCompletionSource? _nextLine;

    private ChildProcess(string program, Process process)
    {
        _program = program;
        _process = process;
        _process.OutputDataReceived += (_, line) => Append(line.Data);
        _process.ErrorDataReceived += (_, line) => Append(line.Data);
    }

    /// <summary>Lines of stdout and stderr so far.</summary>
    public string Output
    {
        get
        {
            lock (_gate)
            {
                return _output.ToString();
            }
        }
    }

    public bool HasExited => _process.HasExited;

    /// <summary>Starts a program found in PATH or by its full path, with arguments passed as they are.</summary>
    public static ChildProcess Start(string program, IEnumerable<string> arguments, string? workingDirectory = null,
        IReadOnlyDictionary<string, string>? environment = null, string? input = null)
    {
        // A test run in the background (nohup, a shell without job control) ignores SIGINT or SIGHUP, and a child inherits that: env sets them back.
        var start = OperatingSystem.IsLinux()
            ? new ProcessStartInfo("env", ["--default-signal=HUP,INT", program, .. arguments])
            : new ProcessStartInfo(program, arguments);
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        start.WorkingDirectory = workingDirectory ?? "";
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        var child = new ChildProcess(program, new Process { StartInfo = start });
        child._process.Start();
        if (input is not null)
        {
            child._process.StandardInput.Write(input);
        }

        child._process.StandardInput.Close();
        child._process.BeginOutputReadLine();
        child._process.BeginErrorReadLine();
        return child;
    }

    /// <summary>The exit code, once the program has ended and its output is complete; after the time given it is killed and the test fails.</summary>
    public async Task<int> WaitForExitAsync(TimeSpan timeout)
    {
        using var deadline = new CancellationTokenSource(timeout);
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{_program} did not end within {timeout}. It wrote:\n{Output}");
        }

        return _process.ExitCode;
    }

    /// <summary>Waits until it has written <paramref name="text"/>; after the time given, or when it ended without, the test fails.</summary>
    public async Task WaitForOutputAsync(string text, TimeSpan timeout)
    {
        using var deadline = new CancellationTokenSource(timeout);
        while (true)
        {
            Task next;
            bool ended = _process.HasExited;
            lock (_gate)
            {
                if (_output.ToString().Contains(text, StringComparison.Ordinal))
                {
                    return;
                }

                next = (_nextLine ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            if (ended)
            {
                throw new InvalidOperationException($"{_program} ended without '{text}'. It wrote:\n{Output}");
            }

            try
            {
                await Task.WhenAny(next, _process.WaitForExitAsync(deadline.Token)).WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"{_program} did not write '{text}' within {timeout}. It wrote:\n{Output}");
            }
        }
    }

    /// <summary>SIGTERM, as a supervisor sends it.</summary>
    public void Terminate() => Signal(SigTerm);

    /// <summary>SIGINT, as Ctrl-C sends it.</summary>
    public void Interrupt() => Signal(SigInt);

    /// <summary>SIGHUP, by which an operator asks a server to read its settings anew.</summary>
    public void HangUp() => Signal(SigHup);

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private void Signal(int number)
    {
        if (!_process.HasExited && Kill(_process.Id, number) != 0)
        {
            throw new InvalidOperationException($"kill: error {Marshal.GetLastPInvokeError()}");
        }
    }

    private void Append(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_gate)
        {
            _output.AppendLine(line);
            _nextLine?.TrySetResult();
            _nextLine = null;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int processId, int signal);
}
