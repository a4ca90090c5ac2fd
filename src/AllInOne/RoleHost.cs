using Marmot.AllInOne.Doctor;
using Marmot.Blossom;
using Marmot.Hosting;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Lifetime;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer;
using Marmot.Terminal;
using Marmot.Relay;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Options;

namespace Marmot.AllInOne;

/// <summary>Builds one process out of the roles asked for, checks every setting, starts it and stays until it is told to stop.</summary>
internal static class RoleHost
{
    internal static async Task<int> RunAsync(Roles roles, string[] args)
    {
        var app = TryBuild(roles, args);
        if (app is null)
        {
            return ExitCodes.WrongUsage;
        }

        await using (app)
        {
            if (Report(SettingsCheck.FindMistakes(app)) || Report(SettingsCheck.FindPortsTaken(app, HasPublicPort(roles))))
            {
                return ExitCodes.WrongUsage;
            }

            try
            {
                // Only now: the servers read their settings while they are mapped.
                Map(app, roles);
                if (!await app.TryStartAsync())
                {
                    return await app.StopInTimeAsync(); // told to stop while it started
                }
            }
            catch (OptionsValidationException exception)
            {
                Report(exception.Failures);
                return ExitCodes.WrongUsage;
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                // Whatever it was, the operator reads one line, and 2 tells a supervisor that a restart alone does not help.
                await Console.Error.WriteLineAsync("could not start: " + StartErrors.Describe(exception));
                return ExitCodes.WrongUsage;
            }

            await StartCard.PrintAsync(app, roles);
            return await app.WaitForEndAsync();
        }
    }

    /// <summary><c>config check</c>: every mistake of every role, nothing started. With <c>--online</c> the database, Redis and S3 are asked too.</summary>
    internal static async Task<int> CheckSettingsAsync(string[] args, bool isOnline)
    {
        var app = TryBuild(Roles.All, args);
        if (app is null)
        {
            return ExitCodes.Failed;
        }

        await using (app)
        {
            if (Report(SettingsCheck.FindMistakes(app)) || (isOnline && Report(await OnlineCheck.FindMistakesAsync(app.Services))))
            {
                return ExitCodes.Failed;
            }

            Console.WriteLine("settings are valid");
            foreach (string line in SettingsCheck.Derived(app))
            {
                Console.WriteLine("  " + line);
            }
        }

        return ExitCodes.Done;
    }

    private static WebApplication? TryBuild(Roles roles, string[] args)
    {
        if (Report(SettingArguments.FindMistakes(args)))
        {
            return null;
        }

        try
        {
            return Build(roles, args);
        }
        catch (Exception exception)
            when (exception is FileNotFoundException or InvalidDataException or InvalidOperationException or FormatException or ArgumentException)
        {
            Report([exception.Message.Split('\n')[0].TrimEnd()]);
            return null;
        }
    }

    // The push server alone listens on relays only.
    private static bool HasPublicPort(Roles roles) => (roles & (Roles.Relay | Roles.Blossom)) != 0;

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

        if (roles.HasFlag(Roles.Relay))
        {
            builder.Services.AddSingleton<IConsolePage>(services => new DoctorPage(services.GetServices<IPublicFacts>(), () => PublicOrigin(services)));
        }

        if (!HasPublicPort(roles))
        {
            builder.Services.AddSingleton<IServer, NoPublicPort>();
        }

        return builder.Build();
    }

    // As people know it, else as it listens.
    private static string PublicOrigin(IServiceProvider services)
    {
        string origin = services.GetRequiredService<IOptions<PublicOptions>>().Value.Origin;
        string listening = services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
        return PublicPage.HttpOf(origin.Length > 0 ? origin : listening);
    }

    private static void Map(WebApplication app, Roles roles)
    {
        if (roles.HasFlag(Roles.Blossom))
        {
            app.MapBlossom();
            if (!roles.HasFlag(Roles.Relay))
            {
                app.MapBlossomPage();
            }
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

    // The notification server of `all` listens on the relay beside it, through loopback. Where Public:Urls makes no sense that is reported, and this is not
    // used.
    private static string OwnRelay(ConfigurationManager configuration)
    {
        string fallback = new PublicOptions().Urls;
        string urls = configuration[PublicOptions.Section + ":" + nameof(PublicOptions.Urls)] ?? fallback;
        if (ListenUrlsAttribute.Split(urls) is not [var first, ..] || !ListenUrlsAttribute.TryParse(first, out var address))
        {
            address = BindingAddress.Parse(fallback);
        }

        string host = address.Host is "0.0.0.0" or "*" or "+" ? "127.0.0.1" : address.Host is "[::]" ? "[::1]" : address.Host;
        return $"ws://{host}:{address.Port}/";
    }

    // True when there was something to report.
    private static bool Report(IEnumerable<string> mistakes)
    {
        bool any = false;
        foreach (string mistake in mistakes)
        {
            any = true;
            Console.Error.WriteLine("settings: " + mistake);
        }

        return any;
    }
}
