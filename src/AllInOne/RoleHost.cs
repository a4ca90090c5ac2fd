using Marmot.Blossom;
using Marmot.Hosting;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer;
using Marmot.Relay;
using Microsoft.Extensions.Options;

namespace Marmot.AllInOne;

/// <summary>Builds one process out of the roles asked for, checks every setting, starts it and stays until it is told to stop.</summary>
internal static class RoleHost
{
    internal static async Task<int> RunAsync(Roles roles, string[] args)
    {
        WebApplication app;
        try
        {
            app = Build(roles, args);
        }
        catch (Exception exception) when (exception is FileNotFoundException or InvalidDataException or InvalidOperationException)
        {
            await Console.Error.WriteLineAsync("settings: " + exception.Message);
            return CommandLine.WrongUsage;
        }

        await using (app)
        {
            if (ReportMistakes(app))
            {
                return CommandLine.WrongUsage;
            }

            try
            {
                // Only now: the servers read their settings while they are mapped.
                Map(app, roles);
                await app.StartAsync();
            }
            catch (OptionsValidationException exception)
            {
                Report(exception.Failures);
                return CommandLine.WrongUsage;
            }
            catch (Exception exception) when (exception is IOException or InvalidDataException or DllNotFoundException or InvalidOperationException or UnauthorizedAccessException)
            {
                await Console.Error.WriteLineAsync("could not start: " + exception.Message);
                return CommandLine.Failed;
            }

            StartCard.Print(app, roles);
            await app.WaitForShutdownAsync();
            return Environment.ExitCode == 0 ? CommandLine.Done : CommandLine.Failed; // a server's critical fault sets it
        }
    }

    /// <summary><c>config check</c>: every mistake of every role, nothing started.</summary>
    internal static int CheckSettings(string[] args)
    {
        try
        {
            using var app = (IDisposable)Build(Roles.All, args);
            if (ReportMistakes((WebApplication)app))
            {
                return CommandLine.Failed;
            }
        }
        catch (Exception exception) when (exception is FileNotFoundException or InvalidDataException or InvalidOperationException)
        {
            Report([exception.Message]);
            return CommandLine.Failed;
        }

        Console.WriteLine("settings are valid");
        return CommandLine.Done;
    }

    private static WebApplication Build(Roles roles, string[] args)
    {
        var builder = MarmotHost.CreateBuilder(args);
        if (roles.HasFlag(Roles.Relay))
        {
            builder.AddRelay();
        }

        if (roles.HasFlag(Roles.Blossom))
        {
            builder.AddBlossom();
        }

        if (roles.HasFlag(Roles.Notify))
        {
            builder.AddNotify(
                roles.HasFlag(Roles.Relay) ? OwnRelay(builder.Configuration) : null,
                builder.Configuration["Public:Origin"] is { Length: > 0 } origin ? origin : null);
        }

        return builder.Build();
    }

    private static void Map(WebApplication app, Roles roles)
    {
        if (roles.HasFlag(Roles.Blossom))
        {
            app.MapBlossom();
        }

        if (roles.HasFlag(Roles.Relay))
        {
            app.MapRelay();
        }

        if (roles.HasFlag(Roles.Notify))
        {
            app.MapNotify();
        }
    }

    // The notification server of `all` listens on the relay beside it, through loopback.
    private static string OwnRelay(ConfigurationManager configuration)
    {
        var options = configuration.GetSection(PublicOptions.Section).Get<PublicOptions>() ?? new PublicOptions();
        var address = BindingAddress.Parse(options.Urls.Split(';', StringSplitOptions.TrimEntries)[0]);
        string host = address.Host is "0.0.0.0" or "*" or "+" ? "127.0.0.1" : address.Host is "[::]" ? "[::1]" : address.Host;
        return $"ws://{host}:{address.Port}/";
    }

    private static bool ReportMistakes(WebApplication app)
    {
        var mistakes = new List<string>(SettingsSections.FindMistakes(app.Configuration, app.Services.GetServices<SettingsSection>()));
        try
        {
            app.Services.GetService<IStartupValidator>()?.Validate();
        }
        catch (OptionsValidationException exception)
        {
            mistakes.AddRange(exception.Failures);
        }
        catch (AggregateException exception)
        {
            mistakes.AddRange(exception.InnerExceptions.SelectMany(inner => inner is OptionsValidationException invalid ? invalid.Failures : [inner.Message]));
        }
        catch (InvalidOperationException) when (mistakes.Count > 0)
        {
            // A value that cannot be bound, e.g. text for a number: it is among the mistakes, in our words.
        }

        mistakes = [.. mistakes.Distinct(StringComparer.Ordinal)];
        Report(mistakes);
        return mistakes.Count > 0;
    }

    private static void Report(IEnumerable<string> mistakes)
    {
        foreach (string mistake in mistakes)
        {
            Console.Error.WriteLine("settings: " + mistake);
        }
    }
}
