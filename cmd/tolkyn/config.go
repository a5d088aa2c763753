package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print, check or describe the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	printCmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration that serve would run with, secrets hidden",
		Args:  cobra.NoArgs,
		RunE:  printConfig,
	}
	addSettingFlags(printCmd)
	cmd.AddCommand(
		printCmd,
		&cobra.Command{
			Use:   "check [FILE]",
			Short: "Check a configuration file together with the environment",
			Args:  cobra.MaximumNArgs(1),
			RunE:  checkConfig,
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of the configuration file",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(config.Schema)
				return err
			},
		},
	)
	return cmd
}

func printConfig(cmd *cobra.Command, _ []string) error {
	settings, origins, err := loadSettings(cmd)
	if err != nil {
		return err
	}
	text, err := config.Print(settings, origins)
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

func checkConfig(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		if err := cmd.Flags().Set("config", args[0]); err != nil {
			return err
		}
	}
	settings, origins, err := loadSettings(cmd)
	if err != nil {
		return err
	}
	if _, err := decideMode(settings, origins); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
	return err
}
