return await Marmot.Cli.CommandLine.RunAsync(args);
